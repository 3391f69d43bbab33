INSERT INTO bike VALUES
(1, 'Kestrel', 'Swift', 'road', 2350, 2),
(2, 'Otter', 'Fold', 'folding', 699, 4),
(3, 'Otter', 'Fold Plus', 'folding', 899, 0),
(4, 'Harrow', 'Plover', 'road', 1150, 5),
(5, 'Bodmin', 'Pixie', 'kids', 199, 0),
(6, 'Bodmin', 'Crag', 'mountain', 1550, 1);
INSERT INTO repair VALUES
(1, 'Tariq', 'brakes', '2024-01-10', '2024-01-19', 40),
(2, 'Beth', 'brakes', '2024-02-11', '2024-02-12', 31),
(3, 'Ivo', 'full service', '2024-05-03', NULL, NULL),
(4, 'Ivo', 'puncture', '2024-05-28', '2024-05-29', 14),
(5, 'Maya', 'new chain', '2023-12-01', '2023-12-15', 55),
(6, 'Sunil', 'full service', '2024-06-15', '2024-06-16', 135);
INSERT INTO sale VALUES
(4, 'Sunil', '2024-01-04', 100),
(4, 'Maya', '2024-05-19', 0),
(5, 'Ivo', '2024-05-20', 5),
(2, 'Pam', '2024-02-02', NULL),
(6, 'Omar', '2023-08-08', 150),
(2, 'Lila', '2024-03-30', 0);
