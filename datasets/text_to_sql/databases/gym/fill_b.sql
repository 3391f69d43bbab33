INSERT INTO member VALUES
(1, 'Dev', 'basic', '2023-03-02', '2024-06-01'),
(2, 'Ruth', 'plus', '2022-01-10', NULL),
(3, 'Ama', 'basic', '2024-04-11', NULL),
(4, 'Gio', 'student', '2024-05-20', NULL),
(5, 'Hana', 'student', '2023-10-01', NULL),
(6, 'Sol', 'plus', '2021-09-09', NULL);
INSERT INTO class VALUES
(1, 'Yoga Flow', 'Bo', 'Monday', 18),
(2, 'Spin 45', 'Carla', 'Thursday', 14),
(3, 'Stretch', 'Bo', 'Tuesday', 25),
(4, 'Boxing', 'Dana', 'Saturday', 6);
INSERT INTO signup VALUES (1, 2, 1), (1, 3, 1), (2, 1, 0), (2, 2, 0), (4, 4, 1), (4, 5, NULL), (4, 6, 1), (1, 5, 1);
