INSERT INTO hive VALUES
(1, 'Zenobia', 'meadow', 5, 2023, 1), (2, 'Cleo', 'orchard', 2, 2024, 1), (3, 'Isolde', 'meadow', 3, 2022, 1), (4, 'Matilda', 'orchard', 2, 2020, 0), (5, 'Ragna', 'quarry', 1, NULL, 0);
INSERT INTO inspection VALUES
(1, '2024-05-05', 4, 8, 'calm'), (2, '2024-05-05', 0, 5, 'calm'), (3, '2024-05-06', 16, 6, 'angry'), (1, '2024-06-06', 9, 10, 'nervous'), (4, '2023-09-15', 44, 0, 'angry'), (3, '2024-06-06', NULL, 7, 'angry');
INSERT INTO honey VALUES (1, '2024-07-10', 25, 'clover'), (3, '2024-07-10', 12.5, 'clover'), (1, '2024-06-01', 8, 'rape'), (4, '2022-07-07', 30, 'lime'), (2, '2024-07-11', 3.5, NULL);
