CREATE TABLE product (sku TEXT, name TEXT, kind TEXT, price REAL, vegan INT);
CREATE TABLE batch (sku TEXT, baked DATE, made INT, wasted INT);
CREATE TABLE wholesale (customer TEXT, sku TEXT, qty INT, due DATE);
