CREATE TABLE member (id INT, name TEXT, plan TEXT, joined DATE, left_on DATE);
CREATE TABLE class (id INT, title TEXT, trainer TEXT, weekday TEXT, places INT);
CREATE TABLE signup (class_id INT, member_id INT, attended INT);
