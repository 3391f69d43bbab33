INSERT INTO pupil VALUES
(1, 'Anna', 7, 'Oak'), (2, 'Ben', 7, 'Ash'), (3, 'Chiara', 8, 'Oak'), (4, 'Dawit', 9, 'Elm'), (5, 'Ella', 9, 'Ash'),
(6, 'Farid', 10, 'Oak'), (7, 'Grace', 8, NULL), (8, 'Hari', 11, 'Elm');
INSERT INTO club VALUES
(1, 'Chess', 'Mr Boyle', 'Monday', 0), (2, 'Robotics', 'Ms Iqbal', 'Wednesday', 25), (3, 'Drama', 'Ms Iqbal', 'Friday', 10),
(4, 'Rowing', 'Mr Stone', 'Saturday', 60), (5, 'Debating', 'Mrs Chen', 'Monday', 0);
INSERT INTO membership VALUES
(1, 1, '2023-09-11', NULL), (2, 1, '2023-09-11', 'captain'), (3, 2, '2022-10-03', NULL), (4, 2, '2021-09-20', 'captain'),
(4, 4, '2023-01-16', NULL), (5, 3, '2023-09-15', 'treasurer'), (6, 2, '2023-09-13', NULL), (6, 4, '2021-04-01', 'captain'),
(8, 3, '2020-09-18', NULL), (1, 3, '2024-01-12', NULL);
