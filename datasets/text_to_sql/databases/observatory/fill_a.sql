INSERT INTO telescope VALUES ('T1', 0.6, 'La Mora', 1), ('T2', 1.2, 'La Mora', 1), ('T3', 2.1, 'Cerro Alto', 0), ('T4', 0.4, 'Roof', 1), ('T7', 1.5, 'Cerro Alto', 1);
INSERT INTO target VALUES
('Vega', 'star', 0.03, 25), ('Barnard', 'star', 9.5, 6), ('M31', 'galaxy', 3.4, 2500000), ('M42', 'nebula', 4, 1344),
('M13', 'cluster', 5.8, 22200), ('NGC 253', 'galaxy', 8, 11400000), ('X-9', 'star', NULL, NULL);
INSERT INTO observation VALUES
('T1', 'Vega', '2024-01-04', 15, 1.1, 'Luz'),
('T2', 'M31', '2024-01-04', 120, 0.9, 'Luz'),
('T2', 'M42', '2024-01-05', 90, 1.6, 'Ken'),
('T4', 'M13', '2024-02-11', 40, 2.4, 'Ken'),
('T2', 'NGC 253', '2024-02-12', 180, 0.8, 'Imani'),
('T1', 'Vega', '2024-02-12', 20, 1.4, 'Imani'),
('T1', 'M42', '2024-03-01', 60, NULL, 'Luz'),
('T4', 'M31', '2023-12-20', 75, 2.2, 'Ken');
