INSERT INTO animal VALUES
(1, 'Biscuit', 'dog', 3, '2024-01-05', 'K1'), (2, 'Smoke', 'cat', 7, '2023-11-20', 'C2'), (3, 'Turnip', 'rabbit', 1, '2024-03-02', NULL),
(4, 'Rex', 'dog', 9, '2023-08-14', 'K3'), (5, 'Pickle', 'cat', 2, '2024-04-09', 'C1'), (6, 'Juno', 'dog', NULL, '2024-05-01', 'K1'), (7, 'Mitten', 'cat', 12, '2024-05-03', 'C2');
INSERT INTO adoption VALUES (1, 'Hughes', '2024-02-10', 90, 0), (2, 'Okafor', '2024-01-15', 60, 1), (2, 'Reyes', '2024-03-20', 40, 0), (3, 'Hughes', '2024-03-30', 20, 0), (4, 'Lin', '2023-12-01', 50, 1);
INSERT INTO vaccine VALUES (1, 'rabies', '2024-01-08'), (1, 'parvo', '2024-01-08'), (2, 'flu', '2023-11-25'), (4, 'rabies', '2023-08-20'), (5, 'flu', '2024-04-12'), (4, 'parvo', '2024-02-02'), (7, 'rabies', '2024-05-06');
