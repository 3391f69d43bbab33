INSERT INTO book VALUES
(1, 'The Salt Road', 'Ines Marr', 'travel', 1931, 2),
(2, 'Night Ferry', 'Tom Ashby', 'crime', 1998, 5),
(3, 'Bread and Iron', 'Ines Marr', 'history', 1948, 1),
(4, 'A Quiet Verdict', 'Tom Ashby', 'crime', 2011, 3),
(5, 'Gardens of the North', 'Lena Voss', 'nature', 2003, 2),
(6, 'The Ninth Clerk', 'Obi Nwosu', 'crime', 2019, 0),
(7, 'Small Harbours', 'Lena Voss', 'travel', 2015, 4),
(8, 'Untitled Notebook', NULL, 'nature', NULL, 1),
(9, 'Scraps', NULL, 'history', NULL, 1);
INSERT INTO member VALUES
(1, 'Priya Nair', 'Leith', '2021-03-14'),
(2, 'Sam Okoro', 'Perth', '2022-11-02'),
(3, 'Greta Lund', 'Leith', '2023-01-20'),
(4, 'Colin Fair', NULL, '2023-06-05'),
(5, 'Priya Shah', 'Dundee', '2019-09-30'),
(6, 'Mo Idris', 'Perth', '2024-02-11');
INSERT INTO loan VALUES
(2, 1, '2024-03-01', '2024-03-15'),
(4, 1, '2024-04-02', NULL),
(2, 2, '2024-03-20', NULL),
(7, 3, '2024-01-08', '2024-02-20'),
(1, 3, '2024-02-21', '2024-03-01'),
(2, 3, '2024-05-05', '2024-05-19'),
(5, 5, '2023-12-30', '2024-01-04'),
(4, 6, '2024-05-10', NULL),
(7, 1, '2023-07-01', '2023-07-09'),
(8, 2, '2023-08-08', '2023-08-09');
