CREATE TABLE pupil (id INT, name TEXT, year INT, house TEXT);
CREATE TABLE club (id INT, name TEXT, teacher TEXT, weekday TEXT, cost INT);
CREATE TABLE membership (pupil_id INT, club_id INT, since DATE, role TEXT);
