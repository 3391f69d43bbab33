INSERT INTO member VALUES
(1, 'Ruth', 'basic', '2022-01-10', NULL),
(2, 'Dev', 'plus', '2023-03-02', NULL),
(3, 'Marek', 'basic', '2023-05-17', '2024-01-31'),
(4, 'Yuki', 'student', '2024-02-01', NULL),
(5, 'Sol', 'plus', '2021-09-09', '2023-09-08'),
(6, 'Ama', 'basic', '2024-04-11', NULL),
(7, 'Finn', 'off-peak', '2024-04-29', NULL);
INSERT INTO class VALUES
(1, 'Spin 45', 'Carla', 'Monday', 12),
(2, 'Yoga Flow', 'Ines', 'Tuesday', 20),
(3, 'Power Hour', 'Carla', 'Thursday', 8),
(4, 'Aqua Fit', 'Bo', 'Tuesday', 15),
(5, 'Morning Yoga', 'Ines', 'Friday', 10);
INSERT INTO signup VALUES (1, 1, 1), (1, 2, 0), (1, 4, 1), (2, 2, 1), (2, 6, 1), (3, 2, 1), (3, 1, 0), (5, 6, NULL), (5, 4, NULL), (2, 3, 0);
