INSERT INTO act VALUES
(1, 'Crumb', 'Wales', 'folk', 1500),
(2, 'Oslo Brass', 'Norway', 'jazz', 7000),
(3, 'Velvet Heron', 'Ireland', 'folk', 5200),
(4, 'Tin Psalms', 'Scotland', 'folk', NULL),
(5, 'DJ Marmalade', 'England', 'house', 11000),
(6, 'Lagos Weekender', 'Nigeria', 'highlife', 12500);
INSERT INTO stage VALUES (1, 'Barn', 900, 1), (2, 'Meadow', 9500, 0), (3, 'Shed', 200, 1), (4, 'Castle Field', 15000, 0);
INSERT INTO slot VALUES
(5, 2, 'Friday', '22:30', 100),
(3, 2, 'Sunday', '19:00', 70),
(3, 1, 'Saturday', '13:00', 65),
(1, 3, 'Saturday', '12:00', 30),
(2, 1, 'Saturday', '21:00', 80),
(6, 2, 'Sunday', '21:00', 80),
(1, 1, 'Friday', '17:30', 25),
(6, 2, 'Saturday', '22:45', 60);
