INSERT INTO bike VALUES
(1, 'Harrow', 'Plover', 'road', 1250, 3),
(2, 'Harrow', 'Dunlin', 'gravel', 1490, 1),
(3, 'Kestrel', 'Swift', 'road', 2200, 0),
(4, 'Kestrel', 'Mule', 'cargo', 3100, 2),
(5, 'Bodmin', 'Tor', 'mountain', 890, 6),
(6, 'Bodmin', 'Pixie', 'kids', 240, 9),
(7, 'Otter', 'Fold', 'folding', 760, 0);
INSERT INTO repair VALUES
(1, 'Maya', 'brakes', '2024-04-01', '2024-04-02', 35),
(2, 'Jonas', 'new chain', '2024-04-03', '2024-04-03', 42.5),
(3, 'Maya', 'wheel truing', '2024-05-12', '2024-05-20', 28),
(4, 'Tariq', 'brakes', '2024-05-14', NULL, NULL),
(5, 'Beth', 'full service', '2024-05-30', '2024-06-08', 120),
(6, 'Tariq', 'puncture', '2024-06-01', '2024-06-01', 12),
(7, 'Nils', 'full service', '2024-06-03', NULL, NULL),
(8, 'Lila', 'puncture', '2024-06-05', '2024-06-05', 12);
INSERT INTO sale VALUES
(1, 'Jonas', '2024-03-05', 0),
(5, 'Lila', '2024-03-09', 50),
(6, 'Lila', '2024-03-09', 10),
(5, 'Omar', '2024-04-17', 0),
(4, 'Beth', '2024-05-02', 200),
(6, 'Pam', '2024-05-02', NULL),
(1, 'Tariq', '2023-10-21', 0);
