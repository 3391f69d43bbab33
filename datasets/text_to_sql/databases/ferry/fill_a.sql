INSERT INTO boat VALUES ('Guillemot', 1987, 40, 250), ('Isle Star', 2009, 95, 600), ('Puffin', 1998, 12, 80), ('Saint Brae', 2017, 60, 400);
INSERT INTO crossing VALUES
(1, 'Isle Star', 'Oban', 'Craignure', '2024-08-01 08:00', 5, 0),
(2, 'Isle Star', 'Craignure', 'Oban', '2024-08-01 10:15', 0, 0),
(3, 'Puffin', 'Gallanach', 'Kerrera', '2024-08-01 09:00', 0, 0),
(4, 'Guillemot', 'Oban', 'Lismore', '2024-08-02 12:00', 15, 1),
(5, 'Saint Brae', 'Oban', 'Craignure', '2024-08-02 16:30', 35, 0),
(6, 'Puffin', 'Kerrera', 'Gallanach', '2024-08-02 18:00', 12, 0),
(7, 'Guillemot', 'Lismore', 'Oban', '2024-08-03 07:45', 50, 0);
INSERT INTO booking VALUES
(1, 'Ailsa', 2, 1, 48), (1, 'Ravi', 4, 1, 66.5), (2, 'Ailsa', 2, 1, 48), (4, 'Noor', 1, 0, 9),
(5, 'Ravi', 3, 0, 27), (5, 'Hugo', 1, 1, 30), (7, 'Hugo', 1, 0, NULL), (5, 'Moira', 6, 1, 84), (6, 'Noor', 2, 0, 14);
