INSERT INTO home VALUES (1, 'Mill Lane', 4, 'gas', NULL), (2, 'Mill Lane', 1, 'heat pump', 3.6), (3, 'Quay Street', 2, 'gas', NULL), (4, 'Hill Rise', 5, 'oil', 5.2), (5, 'Hill Rise', 3, 'heat pump', NULL);
INSERT INTO meter VALUES ('E10', 1, 'electric', '2018-04-01'), ('G10', 1, 'gas', '2012-09-15'), ('E20', 2, 'electric', '2022-06-20'), ('E30', 3, 'electric', '2020-01-08'), ('G30', 3, 'gas', '2020-01-08'), ('E40', 4, 'electric', '2009-11-30'), ('E50', 5, 'electric', NULL);
INSERT INTO reading VALUES
('E10', '2024-01', 310, 0), ('G10', '2024-01', 1450, 0), ('E20', '2024-01', 520, 1), ('E10', '2024-02', 295.5, 0), ('G10', '2024-02', 1190, 1), ('E20', '2024-02', 470, 0),
('E30', '2024-02', 180, 0), ('G30', '2024-02', 900, 0), ('E40', '2024-01', 405, 1), ('E30', '2023-12', 210, 0);
