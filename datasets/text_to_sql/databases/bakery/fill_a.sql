INSERT INTO product VALUES
('B01', 'sourdough', 'bread', 4.2, 1),
('B02', 'rye', 'bread', 3.8, 1),
('B03', 'brioche', 'bread', 3.5, 0),
('P01', 'croissant', 'pastry', 2.1, 0),
('P02', 'cinnamon bun', 'pastry', 2.6, 1),
('P03', 'almond croissant', 'pastry', 2.9, 0),
('P06', 'pain au raisin', 'pastry', 2.7, 0),
('C01', 'carrot cake', 'cake', 24, 0),
('C02', 'beetroot brownie', 'cake', 18, 1);
INSERT INTO batch VALUES
('B01', '2024-09-02', 40, 3), ('B01', '2024-09-03', 44, 0), ('B02', '2024-09-02', 20, 6), ('P01', '2024-09-02', 60, 2),
('P01', '2024-09-03', 64, 9), ('P02', '2024-09-03', 30, 1), ('C01', '2024-09-04', 3, 0), ('B03', '2024-09-04', 15, NULL);
INSERT INTO wholesale VALUES
('Cafe Uno', 'P01', 24, '2024-09-03'), ('Cafe Uno', 'B01', 6, '2024-09-03'), ('Hotel Lark', 'P01', 40, '2024-09-05'),
('Hotel Lark', 'P03', 20, '2024-09-05'), ('Deli 12', 'B02', 10, '2024-09-04'), ('Deli 12', 'B01', 8, '2024-09-06');
