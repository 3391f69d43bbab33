INSERT INTO doctor VALUES
(1, 'Dr Pike', 'heart', 4),
(2, 'Dr Rao', 'skin', 9),
(3, 'Dr Umeh', 'skin', NULL),
(4, 'Dr Ekman', 'children', 3);
INSERT INTO patient VALUES
(1, 'Gus Hall', '1947-08-30', 'ext 2'),
(2, 'Asha Menon', '1984-07-19', NULL),
(3, 'Ines Prado', '2015-04-01', 'ext 5'),
(4, 'Bill Tanner', '1951-02-03', 'ext 6'),
(5, 'Kit Olsen', '1999-09-09', NULL);
INSERT INTO visit VALUES
(1, 2, 1, '2024-01-05', 15, 55, 0),
(2, 2, 2, '2024-03-03', 15, 55, 1),
(3, 1, 4, '2024-03-18', 50, 180, 1),
(4, 1, 1, '2024-05-02', 35, 140, 0),
(5, 4, 3, '2023-12-12', 20, 45, 1),
(6, 4, 3, '2024-06-20', NULL, 45, 1),
(7, 2, 1, '2024-06-21', 40, 90, 0);
