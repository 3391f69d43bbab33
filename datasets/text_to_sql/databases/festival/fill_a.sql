INSERT INTO act VALUES
(1, 'Velvet Heron', 'Ireland', 'folk', 4000),
(2, 'Kombi Club', 'Ghana', 'highlife', 9000),
(3, 'The Static Aunts', 'England', 'punk', 2500),
(4, 'DJ Marmalade', 'England', 'house', 12000),
(5, 'Oslo Brass', 'Norway', 'jazz', 7000),
(6, 'Nana Tawiah', 'Ghana', 'highlife', 6500),
(7, 'Crumb', 'Wales', 'folk', NULL),
(8, 'Mirrorball', 'Ireland', 'house', 9000),
(9, 'Hush Puppy', 'Wales', 'punk', 1800);
INSERT INTO stage VALUES (1, 'Meadow', 8000, 0), (2, 'Barn', 900, 1), (3, 'Lakeside', 3000, 0), (4, 'Tea Tent', 120, 1);
INSERT INTO slot VALUES
(4, 1, 'Saturday', '22:00', 90),
(2, 1, 'Saturday', '20:15', 75),
(3, 2, 'Friday', '18:00', 40),
(1, 2, 'Saturday', '16:30', 45),
(5, 3, 'Sunday', '15:00', 60),
(6, 3, 'Sunday', '17:00', 60),
(8, 1, 'Friday', '23:00', 120),
(1, 4, 'Sunday', '11:00', 30),
(3, 3, 'Saturday', '14:00', 35),
(7, 4, 'Sunday', '12:00', 30);
