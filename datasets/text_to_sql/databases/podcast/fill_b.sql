INSERT INTO series VALUES (1, 'Soil Talk', 'Nell Park', 'English', 2022), (2, 'Odd Jobs', 'Femi Alli', 'English', 2018), (3, 'Ricochet', 'Uwe Hahn', 'French', 2023), (4, 'Cuentos', 'Iker Sanz', 'Spanish', 2021);
INSERT INTO episode VALUES
(1, 1, 'Worms Again', '2024-02-11', 2700, NULL), (2, 1, 'Clay', '2024-05-05', 3610, 'Lea Moor'), (3, 2, 'Chimney Girl', '2022-11-30', 1990, 'Iris Low'),
(4, 3, 'Pilote', '2023-12-09', 1400, NULL), (5, 2, 'Lamp Lighter', '2024-06-18', 2230, 'Iris Low'), (6, 2, 'Rat Catcher', '2024-03-12', 1780, NULL);
INSERT INTO plays VALUES (1, 'India', 900), (2, 'UK', 1500), (2, 'India', 2300), (3, 'UK', 6000), (4, 'France', 450), (5, 'UK', 3200), (5, 'Kenya', 810), (3, 'India', 70), (6, 'Peru', 0);
