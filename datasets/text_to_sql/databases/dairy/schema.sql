CREATE TABLE cow (tag INT, name TEXT, breed TEXT, born DATE, mother INT);
CREATE TABLE milking (tag INT, day DATE, session TEXT, litres REAL);
CREATE TABLE treatment (tag INT, day DATE, illness TEXT, cost REAL);
