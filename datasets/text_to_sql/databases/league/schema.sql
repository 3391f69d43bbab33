CREATE TABLE team (id INT, name TEXT, town TEXT, founded INT, budget REAL);
CREATE TABLE player (id INT, name TEXT, team_id INT, position TEXT, age INT, goals INT);
CREATE TABLE game (day DATE, home INT, away INT, home_goals INT, away_goals INT, crowd INT);
