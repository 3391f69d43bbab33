INSERT INTO singer VALUES
(1, 'Oona', 'soprano', 2015, 1), (2, 'Pavel', 'bass', 2019, 1), (3, 'Quentin', 'tenor', 2022, 0), (4, 'Rosa', 'alto', 2015, 1),
(5, 'Sigrid', 'soprano', 2023, 0), (6, 'Tunde', 'bass', 2021, NULL), (7, 'Uma', 'alto', 2024, 0);
INSERT INTO piece VALUES
(1, 'Ave Maris', 'Halvorsen', 6.5, 'Latin'), (2, 'Three Hill Songs', 'Pryce', 12, 'Welsh'), (3, 'Requiem', 'Duarte', 34, 'Latin'),
(4, 'Lullaby', NULL, 3.5, 'English'), (5, 'Snow', 'Pryce', 5, 'English'), (6, 'Carol', NULL, 2.5, 'English');
INSERT INTO rehearsal VALUES
(1, 1, '2024-10-02'), (2, 1, '2024-10-02'), (3, 1, '2024-10-02'), (1, 3, '2024-10-09'), (2, 3, '2024-10-09'), (4, 3, '2024-10-09'),
(5, 2, '2024-10-16'), (4, 2, '2024-10-16'), (1, 4, '2024-10-16'), (6, 3, '2024-10-16'), (1, 1, '2024-10-09');
