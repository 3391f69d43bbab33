INSERT INTO boat VALUES ('Saint Brae', 2017, 60, 400), ('Puffin', 1998, 12, 90), ('Heather', 2021, 0, 120), ('Guillemot', 1987, 38, 240);
INSERT INTO crossing VALUES
(1, 'Heather', 'Oban', 'Kerrera', '2024-08-02 06:30', 0, 0),
(2, 'Saint Brae', 'Oban', 'Craignure', '2024-08-02 09:00', 25, 0),
(3, 'Saint Brae', 'Craignure', 'Oban', '2024-08-02 11:20', NULL, 1),
(4, 'Puffin', 'Oban', 'Lismore', '2024-08-02 13:00', 8, 0),
(5, 'Puffin', 'Lismore', 'Oban', '2024-08-03 15:00', NULL, 1),
(6, 'Heather', 'Kerrera', 'Oban', '2024-08-04 20:10', 41, 0);
INSERT INTO booking VALUES
(2, 'Moira', 2, 1, 50), (2, 'Noor', 1, 0, 10), (3, 'Moira', 2, 1, NULL), (1, 'Ailsa', 5, 0, 20),
(4, 'Tomas', 2, 0, 18), (6, 'Ailsa', 5, 0, 20), (4, 'Ravi', 3, 1, 61);
