CREATE TABLE plant (id INT, species TEXT, bed TEXT, sown DATE, height_cm REAL, flowering INT);
CREATE TABLE bed (code TEXT, soil TEXT, area_m2 REAL, heated INT);
CREATE TABLE watering (bed TEXT, day DATE, litres REAL, person TEXT);
