INSERT INTO pupil VALUES
(1, 'Ella', 9, 'Ash'), (2, 'Ivo', 7, 'Elm'), (3, 'Jana', 7, 'Elm'), (4, 'Dawit', 10, 'Oak'), (5, 'Kofi', 8, 'Ash'), (6, 'Lucy', 9, 'Elm');
INSERT INTO club VALUES
(1, 'Drama', 'Mrs Chen', 'Thursday', 15), (2, 'Chess', 'Mr Boyle', 'Monday', 5), (3, 'Choir', 'Mr Boyle', 'Monday', 0),
(4, 'Robotics', 'Ms Iqbal', 'Monday', 30), (5, 'Fencing', 'Mr Stone', 'Friday', 75);
INSERT INTO membership VALUES
(1, 1, '2023-11-02', 'captain'), (1, 3, '2022-02-02', NULL), (2, 4, '2024-01-08', NULL), (3, 4, '2024-01-08', 'treasurer'),
(4, 4, '2020-09-07', 'captain'), (5, 2, '2023-09-18', NULL), (4, 3, '2023-05-10', NULL), (2, 2, '2024-01-15', NULL);
