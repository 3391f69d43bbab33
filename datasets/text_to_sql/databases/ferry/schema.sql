CREATE TABLE boat (name TEXT, built INT, cars INT, people INT);
CREATE TABLE crossing (id INT, boat TEXT, origin TEXT, destination TEXT, leaves DATETIME, delay_min INT, cancelled INT);
CREATE TABLE booking (crossing_id INT, passenger TEXT, seats INT, has_car INT, paid REAL);
