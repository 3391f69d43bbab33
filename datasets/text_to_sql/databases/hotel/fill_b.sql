INSERT INTO room VALUES (11, 1, 2, 'garden', 90), (12, 1, 1, 'garden', 60), (21, 2, 2, 'sea', 130), (22, 2, 1, 'yard', 75), (31, 3, 3, 'sea', 210);
INSERT INTO guest VALUES (1, 'Mr Bose', 'India', 0), (2, 'Ms Gallo', 'Italy', 1), (3, 'Mr Hsu', 'Taiwan', 0), (4, 'Ms Eklund', 'Sweden', 0), (5, 'Ms Ito', 'Japan', 1), (6, 'Mr Costa', 'Italy', NULL);
INSERT INTO stay VALUES
(1, 21, '2024-06-01', 2, 0, 4), (2, 31, '2024-06-04', 6, 1, 9), (4, 12, '2024-07-15', 1, 0, 8), (2, 21, '2024-07-20', 2, 1, NULL), (6, 11, '2024-05-25', 3, 0, 3), (1, 12, '2023-11-03', 1, 0, 7), (1, 31, '2024-06-20', 1, 1, 10);
