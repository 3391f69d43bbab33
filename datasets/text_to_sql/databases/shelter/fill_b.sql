INSERT INTO animal VALUES
(1, 'Rex', 'dog', 4, '2024-02-02', 'K2'), (2, 'Olive', 'cat', 5, '2024-02-28', 'C1'), (3, 'Sprout', 'rabbit', 2, '2023-12-12', 'R1'),
(4, 'Bruno', 'dog', 11, '2024-06-06', NULL), (5, 'Smoke', 'cat', NULL, '2024-06-10', 'C1'), (6, 'Hazelnut', 'rabbit', 1, '2024-06-12', 'R1'),
(7, 'Pip', 'ferret', 1, '2023-07-07', NULL), (8, 'Moss', 'dog', 6, '2024-06-20', 'K2');
INSERT INTO adoption VALUES (1, 'Reyes', '2024-04-04', 95, 0), (2, 'Okafor', '2024-05-17', 55, 0), (3, 'Reyes', '2024-01-09', 15, 1), (3, 'Marsh', '2024-06-01', 15, 0);
INSERT INTO vaccine VALUES (1, 'rabies', '2024-02-05'), (2, 'flu', '2024-03-01'), (4, 'rabies', '2024-06-07'), (5, 'flu', '2024-06-11'), (5, 'rabies', '2024-06-11'), (6, 'myxo', '2024-06-14');
