CREATE TABLE doctor (id INT, name TEXT, specialty TEXT, room INT);
CREATE TABLE patient (id INT, name TEXT, born DATE, phone TEXT);
CREATE TABLE visit (id INT, doctor_id INT, patient_id INT, day DATE, minutes INT, fee REAL, paid INT);
