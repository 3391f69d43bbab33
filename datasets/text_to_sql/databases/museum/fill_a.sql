INSERT INTO artist VALUES
(1, 'Elin Dahl', 1861, 1929, 'Sweden'), (2, 'Paolo Greco', 1702, 1779, 'Italy'), (3, 'Mara Quist', 1954, NULL, 'Sweden'),
(4, 'Joao Teles', 1890, 1962, 'Portugal'), (5, 'Ann Petrie', 1971, NULL, 'Scotland');
INSERT INTO work VALUES
(1, 'Winter Quay', 1, 1899, 'oil', 1, 90000),
(2, 'Girl with Jug', 1, 1904, 'oil', 1, 120000),
(3, 'Saint in a Boat', 2, 1741, 'fresco', 4, NULL),
(4, 'Untitled (Rope)', 3, 1998, 'textile', 7, 15000),
(5, 'Harvest', 4, 1931, 'oil', NULL, 47000),
(6, 'Study of Hands', NULL, 1650, 'ink', 3, 8000),
(7, 'Blue Rope', 3, 2006, 'textile', 7, 22000),
(8, 'Quay at Night', 1, 1911, 'pastel', NULL, 31000);
INSERT INTO lending VALUES
(1, 'Oslo', '2022-05-01', '2022-11-01'), (5, 'Lisbon', '2024-02-10', NULL), (4, 'Leeds', '2021-03-03', '2021-09-01'),
(8, 'Oslo', '2024-04-20', NULL), (1, 'Turin', '2019-06-15', '2019-12-20'), (2, 'Lisbon', '2023-01-09', '2023-04-30');
