INSERT INTO series VALUES (1, 'Odd Jobs', 'Nell Park', 'English', 2019), (2, 'Cuentos', 'Iker Sanz', 'Spanish', 2021), (3, 'Soil Talk', 'Nell Park', 'English', 2022), (4, 'Stille Post', 'Uwe Hahn', 'German', 2020);
INSERT INTO episode VALUES
(1, 1, 'The Bell Tuner', '2023-10-02', 2400, 'Iris Low'), (2, 1, 'Night Postman', '2024-01-15', 1860, NULL), (3, 2, 'La Llave', '2024-01-20', 1500, NULL),
(4, 3, 'Worms', '2024-02-01', 3300, 'Prof. Amadi'), (5, 3, 'Compost', '2024-03-01', 2950, 'Prof. Amadi'), (6, 1, 'Ice Cutter', '2024-04-22', 2010, 'Jens Berg'), (7, 2, 'El Tren', '2023-12-06', 1325, 'Iris Low');
INSERT INTO plays VALUES (1, 'UK', 5200), (1, 'India', 1800), (2, 'UK', 4100), (3, 'Spain', 2600), (3, 'Mexico', 3900), (4, 'UK', 700), (4, 'India', 1250), (5, 'Kenya', 640), (7, 'Spain', 1990), (6, 'UK', 0);
