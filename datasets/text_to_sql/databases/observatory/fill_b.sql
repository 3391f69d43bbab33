INSERT INTO telescope VALUES ('T2', 1.2, 'La Mora', 0), ('T3', 2.1, 'Cerro Alto', 1), ('T5', 3.5, 'Cerro Alto', 1), ('T4', 0.4, 'Roof', 0), ('T6', 0.3, 'Ben Mor', 0);
INSERT INTO target VALUES
('M31', 'galaxy', 3.4, 2500000), ('Barnard', 'star', 9.5, 6), ('M57', 'nebula', 8.8, 2570), ('Rigel', 'star', 0.13, 860), ('Proxima', 'star', 11.1, 4.2);
INSERT INTO observation VALUES
('T3', 'M31', '2024-02-02', 200, 0.7, 'Imani'),
('T3', 'M57', '2024-02-02', 80, 1.2, 'Imani'),
('T5', 'Barnard', '2024-02-20', 30, 0.6, 'Luz'),
('T4', 'Rigel', '2024-03-15', 10, 2.8, 'Sven'),
('T5', 'M57', '2024-03-15', 110, NULL, 'Sven'),
('T5', 'M31', '2023-11-30', 45, 1.9, 'Luz'),
('T3', 'Rigel', '2024-02-25', 25, 1.0, 'Imani');
