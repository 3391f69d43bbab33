INSERT INTO station VALUES
('HAR', 'Harwick', 4, 1, 1854), ('LON', 'Longmoor', 2, 0, 1871), ('PEN', 'Penny Bridge', 1, 0, 1902), ('STO', 'Stoke Abbey', 6, 1, 1849), ('VAL', 'Vale Parkway', 2, 1, 2007);
INSERT INTO train VALUES (711, 'Northline', 4, 4), (712, 'Northline', 4, 0), (830, 'Coast Rail', 8, 6), (831, 'Coast Rail', 6, NULL), (905, 'Sleeper', 12, 2);
INSERT INTO stop VALUES
(711, 'HAR', '07:02', '07:02', 1), (711, 'LON', '07:20', '07:26', 2), (711, 'STO', '07:55', '08:01', 3), (830, 'STO', '08:10', '08:10', 5),
(830, 'VAL', '08:31', '08:50', 1), (712, 'LON', '09:05', NULL, 1), (712, 'HAR', '09:24', NULL, 4), (831, 'VAL', '17:45', '17:46', 2), (831, 'STO', '18:05', '18:05', 5);
