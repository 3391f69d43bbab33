INSERT INTO tool VALUES
(1, 'hedge trimmer', 'garden', 15, 50, '2022-04-20'), (2, 'jackhammer', 'building', 55, 300, '2020-01-30'), (3, 'paint sprayer', 'decorating', 25, 75, '2023-11-11'),
(4, 'chainsaw', 'garden', 32, 180, '2017-07-17'), (5, 'floor sander', 'wood', 30, NULL, '2024-02-28'), (6, 'router', 'wood', 12, 40, '2021-12-01');
INSERT INTO hire VALUES
(4, 'Green Acre', '2024-06-01', 4, '2024-06-04'), (4, 'T. Boyd', '2024-06-10', 3, '2024-06-12'), (2, 'Bld Co', '2024-06-11', 12, NULL), (1, 'T. Boyd', '2024-05-30', 1, '2024-06-02'),
(3, 'Green Acre', '2024-07-07', 6, NULL), (2, 'Marsh & Son', '2023-12-20', 2, '2023-12-22'), (5, 'Bld Co', '2024-06-25', 2, NULL);
INSERT INTO damage VALUES (4, '2024-06-12', 70, 1), (4, '2024-06-04', 25, 1), (2, '2024-01-02', 210, 0);
