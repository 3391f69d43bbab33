INSERT INTO product VALUES
('B01', 'sourdough', 'bread', 4.5, 1),
('B04', 'spelt tin', 'bread', 4, 0),
('P01', 'croissant', 'pastry', 2.3, 0),
('P05', 'rock bun', 'pastry', 1.4, 0),
('B05', 'baguette', 'bread', 2.2, 1),
('P04', 'plum danish', 'pastry', 3.1, 0),
('C02', 'beetroot brownie', 'cake', 17.5, 1),
('C03', 'honey cake', 'cake', 26, 0);
INSERT INTO batch VALUES
('B01', '2024-09-03', 50, 5), ('P01', '2024-09-03', 55, 5), ('P04', '2024-09-03', 18, 8), ('C03', '2024-09-05', 2, 1),
('B04', '2024-09-02', 22, 0), ('P01', '2024-09-05', 70, 1);
INSERT INTO wholesale VALUES
('Hotel Lark', 'B01', 12, '2024-09-04'), ('Cafe Uno', 'P04', 10, '2024-09-03'), ('School 5', 'B04', 25, '2024-09-04'),
('School 5', 'P01', 30, '2024-09-06'), ('Cafe Uno', 'C02', 1, '2024-09-07');
