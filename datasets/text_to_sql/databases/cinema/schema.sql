CREATE TABLE film (id INT, title TEXT, director TEXT, minutes INT, rating TEXT);
CREATE TABLE screen (number INT, seats INT, has_3d INT);
CREATE TABLE show (film_id INT, screen INT, starts DATETIME, sold INT, price REAL);
