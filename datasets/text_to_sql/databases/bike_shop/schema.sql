CREATE TABLE bike (id INT, brand TEXT, model TEXT, type TEXT, price REAL, stock INT);
CREATE TABLE repair (id INT, customer TEXT, job TEXT, came DATE, done DATE, cost REAL);
CREATE TABLE sale (bike_id INT, customer TEXT, sold DATE, discount REAL);
