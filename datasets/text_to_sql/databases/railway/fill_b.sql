INSERT INTO station VALUES
('HAR', 'Harwick', 5, 1, 1854), ('MIL', 'Millgate', 2, 0, 1888), ('PEN', 'Penny Bridge', 1, 1, 1902), ('OXL', 'Oxley Road', 3, 0, 1999);
INSERT INTO train VALUES (711, 'Northline', 3, 2), (640, 'Valley Link', 2, 3), (641, 'Valley Link', 2, NULL), (905, 'Sleeper', 10, 0);
INSERT INTO stop VALUES
(711, 'HAR', '06:40', '06:41', 2), (711, 'MIL', '07:01', '07:15', 1), (640, 'PEN', '10:00', '10:00', 1), (640, 'MIL', '10:22', NULL, 2),
(905, 'HAR', '23:15', '23:15', 5), (905, 'MIL', '23:40', '23:58', 1);
