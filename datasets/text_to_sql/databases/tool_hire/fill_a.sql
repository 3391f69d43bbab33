INSERT INTO tool VALUES
(1, 'cement mixer', 'building', 28, 150, '2019-03-01'), (2, 'floor sander', 'wood', 35, 100, '2021-06-11'), (3, 'hedge trimmer', 'garden', 14, 50, '2022-04-20'),
(4, 'rotavator', 'garden', 40, 200, '2018-05-05'), (5, 'tile cutter', 'building', 18, 60, '2023-02-02'), (6, 'wallpaper steamer', 'decorating', 9, NULL, '2020-10-10'), (7, 'lawn aerator', 'garden', 22, 80, '2024-01-15');
INSERT INTO hire VALUES
(1, 'Marsh & Son', '2024-06-03', 5, '2024-06-08'), (2, 'P. Gray', '2024-06-07', 2, '2024-06-10'), (3, 'P. Gray', '2024-06-14', 1, '2024-06-15'), (4, 'Green Acre', '2024-06-20', 7, NULL),
(1, 'Bld Co', '2024-07-01', 10, NULL), (5, 'Marsh & Son', '2024-05-11', 3, '2024-05-14'), (3, 'Green Acre', '2023-09-09', 2, '2023-09-11'), (7, 'P. Gray', '2024-06-27', 1, '2024-06-28');
INSERT INTO damage VALUES (2, '2024-06-10', 45, 1), (1, '2024-06-09', 20, 0), (4, '2023-08-01', 130, 1), (2, '2022-02-14', 15, 0);
