CREATE TABLE room (number INT, floor INT, beds INT, view TEXT, rate REAL);
CREATE TABLE guest (id INT, name TEXT, country TEXT, vip INT);
CREATE TABLE stay (guest_id INT, room INT, arrive DATE, nights INT, breakfast INT, rating INT);
