INSERT INTO team VALUES (1, 'Albion', 'Tarn', 1921, 2.1), (2, 'Rovers', 'Bexwell', 1899, 3.3), (3, 'Swifts', 'Tarn', 1988, 0.4), (4, 'Dockers', 'Port Ida', 1905, 1.2), (5, 'Phoenix', 'Lyle', 2015, NULL);
INSERT INTO player VALUES
(1, 'Lou Barry', 1, 'forward', 20, 13), (2, 'Abel Cross', 3, 'midfield', 25, 5), (3, 'Kai Moss', 2, 'defender', 31, 0), (4, 'Ola Berg', 2, 'forward', 27, 6),
(5, 'Zef Hoxha', 4, 'keeper', 34, 1), (6, 'Rui Alves', NULL, 'forward', 18, 0), (7, 'Milo Platt', 4, 'defender', 23, 3);
INSERT INTO game VALUES
('2024-08-31', 1, 3, 5, 0, 1450), ('2024-09-01', 4, 2, 2, 2, 2600), ('2024-09-07', 3, 4, 1, 0, 700), ('2024-09-08', 2, 1, 0, 1, 4020), ('2024-09-14', 1, 4, NULL, NULL, NULL), ('2024-09-21', 5, 2, NULL, NULL, NULL);
