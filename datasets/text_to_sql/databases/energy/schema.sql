CREATE TABLE home (id INT, street TEXT, people INT, heating TEXT, solar_kw REAL);
CREATE TABLE meter (serial TEXT, home_id INT, fuel TEXT, fitted DATE);
CREATE TABLE reading (serial TEXT, month TEXT, kwh REAL, estimated INT);
