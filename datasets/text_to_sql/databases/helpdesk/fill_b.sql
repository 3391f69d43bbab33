INSERT INTO agent VALUES (1, 'Raj', 'billing', 2), (2, 'Kemi', 'network', 3), (3, 'Mina', 'hardware', 1), (4, 'Otto', 'hardware', 2);
INSERT INTO ticket VALUES
(1, '2024-04-02', '2024-04-03', 'invoice', 1, 1, 'Crane'), (2, '2024-04-02', NULL, 'vpn', 3, 2, 'Acme'), (3, '2024-03-30', '2024-04-10', 'printer', 2, 2, 'Dune'),
(4, '2024-04-08', NULL, 'printer', 1, NULL, 'Dune'), (5, '2024-04-09', NULL, 'wifi', 2, 2, 'Acme'), (6, '2024-04-11', '2024-04-11', 'contract', 3, 1, 'Fjord'),
(7, '2024-04-12', NULL, 'vpn', 2, NULL, 'Acme');
INSERT INTO reply VALUES (1, '2024-04-02 13:00', 55, 0), (2, '2024-04-03 09:30', 120, 1), (2, '2024-04-05 17:00', 40, 0), (3, '2024-04-01 10:00', 160, 0), (6, '2024-04-11 11:00', 20, 0), (3, '2024-04-10 08:20', 15, 0), (5, '2024-04-10 14:00', 5, 1);
