INSERT INTO team VALUES (1, 'Rovers', 'Bexwell', 1899, 1.8), (2, 'Albion', 'Tarn', 1921, 2.4), (3, 'Harriers', 'Bexwell', 1954, 0.7), (4, 'Dockers', 'Port Ida', 1903, NULL);
INSERT INTO player VALUES
(1, 'Abel Cross', 1, 'forward', 24, 11), (2, 'Zef Hoxha', 1, 'keeper', 33, 0), (3, 'Lou Barry', 2, 'forward', 19, 7), (4, 'Ike Dunn', 2, 'midfield', 28, 4),
(5, 'Sean Platt', 3, 'defender', 30, 1), (6, 'Nuno Reis', 3, 'forward', 21, 9), (7, 'Emil Rask', NULL, 'midfield', 35, 0), (8, 'Tom Yates', 4, 'keeper', 22, 0), (9, 'Jay Cross', 4, 'defender', 26, 2);
INSERT INTO game VALUES
('2024-08-17', 1, 2, 2, 1, 3100), ('2024-08-18', 3, 4, 0, 0, 850), ('2024-08-24', 2, 3, 4, 1, 2750), ('2024-08-25', 4, 1, 1, 3, 1900), ('2024-09-01', 1, 3, 1, 1, 3600), ('2024-09-08', 2, 4, NULL, NULL, NULL);
