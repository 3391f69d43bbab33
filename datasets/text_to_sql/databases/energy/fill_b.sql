INSERT INTO home VALUES (1, 'Quay Street', 6, 'gas', 4.1), (2, 'Elm Court', 2, 'electric', NULL), (3, 'Elm Court', 2, 'heat pump', 2.8), (4, 'Mill Lane', 1, 'gas', NULL);
INSERT INTO meter VALUES ('E11', 1, 'electric', '2015-02-02'), ('G11', 1, 'gas', '2015-02-02'), ('E21', 2, 'electric', '2023-10-10'), ('E31', 3, 'electric', '2021-07-07'), ('G41', 4, 'gas', '2006-03-03'), ('E41', NULL, 'electric', NULL), ('G21', 2, 'gas', '2011-05-05');
INSERT INTO reading VALUES
('E11', '2024-02', 620, 0), ('G11', '2024-02', 2100, 0), ('E21', '2024-02', 455, 1), ('E31', '2024-03', 350, 0), ('G41', '2024-03', 780, 1), ('E11', '2024-03', 585, 0), ('E21', '2024-03', 430, 0), ('E31', '2024-01', 510, 1);
