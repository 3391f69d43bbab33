INSERT INTO artist VALUES
(1, 'Mara Quist', 1954, NULL, 'Sweden'), (2, 'Ines Lobo', 1988, NULL, 'Portugal'), (3, 'Paolo Greco', 1702, 1779, 'Italy'),
(4, 'Otto Berg', 1840, 1871, 'Norway');
INSERT INTO work VALUES
(1, 'Fjord', 4, 1866, 'oil', 2, 60000),
(2, 'Quay', 4, 1870, 'ink', 2, NULL),
(3, 'Blue Rope', 2, 2006, 'textile', NULL, 25000),
(4, 'Map of Us', 2, 2019, 'textile', 7, 9000),
(5, 'The Harvest Table', 3, 1755, 'oil', 4, 210000),
(6, 'Door', NULL, 1500, 'wood', 3, 34000);
INSERT INTO lending VALUES
(3, 'Leeds', '2024-06-01', NULL), (1, 'Oslo', '2020-01-20', '2020-03-01'), (1, 'Leeds', '2023-07-07', '2023-08-30'),
(5, 'Turin', '2022-10-10', '2023-10-01'), (4, 'Leeds', '2021-11-11', '2022-01-05');
