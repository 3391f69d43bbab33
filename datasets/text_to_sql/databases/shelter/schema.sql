CREATE TABLE animal (id INT, name TEXT, species TEXT, age INT, arrived DATE, kennel TEXT);
CREATE TABLE adoption (animal_id INT, family TEXT, day DATE, fee REAL, returned INT);
CREATE TABLE vaccine (animal_id INT, type TEXT, given DATE);
