INSERT INTO book VALUES
(1, 'Night Ferry', 'Tom Ashby', 'crime', 1998, 1),
(2, 'Low Tide', 'Ines Marr', 'travel', 1962, 6),
(3, 'The Salt Road', 'Ines Marr', 'travel', 1931, 0),
(4, 'Owls by Day', 'Rui Costa', 'nature', 2020, 0),
(5, 'The Long Ledger', NULL, 'history', 1949, 3),
(6, 'A Quiet Verdict', 'Tom Ashby', 'crime', 2011, 7),
(8, 'A Herbal', 'Ann Kell', 'nature', 1911, 1),
(7, 'Night Ferry Again', 'Tom Ashby', 'crime', 2022, 2);
INSERT INTO member VALUES
(11, 'Sam Okoro', 'Leith', '2020-05-05'),
(12, 'Una Reid', 'Leith', '2024-08-19'),
(13, 'Colin Fair', 'Dundee', '2023-06-05'),
(14, 'Bela Toth', 'Perth', '2022-01-01'),
(15, 'Priya Nair', NULL, '2018-12-12'),
(16, 'Jo Tan', 'Leith', '2023-03-03');
INSERT INTO loan VALUES
(1, 11, '2024-06-01', '2024-06-03'),
(6, 11, '2023-02-10', '2023-03-15'),
(6, 12, '2024-09-01', NULL),
(2, 13, '2024-06-11', NULL),
(1, 13, '2024-07-01', '2024-07-30'),
(4, 14, '2023-11-11', '2023-11-12'),
(6, 15, '2024-01-15', '2024-02-01'),
(1, 12, '2024-10-01', NULL);
