INSERT INTO hive VALUES
(1, 'Boudica', 'orchard', 3, 2023, 1), (2, 'Matilda', 'orchard', 2, 2022, 1), (3, 'Cleo', 'heath', 4, 2021, 0), (4, 'Nefer', 'roof', 1, 2024, 1), (5, 'Sheba', 'heath', 3, NULL, 1), (6, 'Zenobia', 'roof', 2, 2022, 0);
INSERT INTO inspection VALUES
(1, '2024-04-10', 2, 6, 'calm'), (2, '2024-04-10', 7, 4, 'nervous'), (5, '2024-04-12', 0, 5, 'calm'), (1, '2024-05-20', 5, 9, 'calm'), (2, '2024-05-20', 12, 7, 'angry'), (4, '2024-05-21', 1, 3, 'calm'), (3, '2023-08-30', 31, 1, 'angry'), (5, '2024-06-02', NULL, 8, 'nervous');
INSERT INTO honey VALUES (1, '2024-06-15', 14.5, 'lime'), (2, '2024-06-15', 9, 'lime'), (5, '2024-08-20', 18.5, 'heather'), (3, '2023-08-25', 11, 'heather'), (1, '2024-07-28', 10, 'clover'), (1, '2023-07-01', 21.5, NULL);
