CREATE TABLE plot (code TEXT, grape TEXT, hectares REAL, planted INT, slope TEXT);
CREATE TABLE harvest (plot TEXT, year INT, tonnes REAL, sugar REAL);
CREATE TABLE wine (name TEXT, grape TEXT, vintage INT, bottles INT, price REAL);
