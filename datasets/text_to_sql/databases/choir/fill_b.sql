INSERT INTO singer VALUES
(1, 'Rosa', 'alto', 2018, 0), (2, 'Oona', 'soprano', 2017, 1), (3, 'Wim', 'tenor', 2020, NULL), (4, 'Pavel', 'tenor', 2019, 1), (5, 'Vera', 'alto', 2024, 0), (6, 'Xan', 'alto', 2021, 1), (7, 'Yann', 'bass', 2010, 1);
INSERT INTO piece VALUES
(1, 'Snow', 'Pryce', 4.5, 'English'), (2, 'Gloria', 'Halvorsen', 15, 'Latin'), (3, 'Harvest Home', NULL, 7, 'Welsh'), (4, 'Agnus', 'Halvorsen', 9.5, 'Latin');
INSERT INTO rehearsal VALUES
(1, 1, '2024-11-06'), (2, 1, '2024-11-06'), (2, 2, '2024-11-06'), (4, 2, '2024-11-13'), (3, 2, '2024-11-13'), (1, 4, '2024-11-13'), (6, 4, '2024-11-20'), (2, 4, '2024-11-20'), (5, 1, '2024-11-27');
