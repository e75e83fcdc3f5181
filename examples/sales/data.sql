-- The data of the sales example. It is read at every call: edit a figure, ask again, and the proposal changes.
-- Dates of campaign rows are given as days before today, so that "the last 30 days" never runs dry.

CREATE TABLE customers (
  customer_id TEXT PRIMARY KEY,
  name        TEXT NOT NULL,
  contact     TEXT NOT NULL,
  segment     TEXT NOT NULL,
  industry    TEXT NOT NULL,
  region      TEXT NOT NULL,
  since       TEXT NOT NULL,
  annual_eur  INTEGER NOT NULL,
  interest    TEXT NOT NULL
);

INSERT INTO customers VALUES
  ('C-1007', 'Nordlicht Optik',      'Jonas Brandt',   'small',      'retail',      'DACH',    '2021-03-15',  18000, 'newsletter'),
  ('C-1042', 'Halden Robotics',      'Ingrid Solheim', 'mid-market', 'automation',  'Nordics', '2019-09-02', 240000, 'predictive maintenance'),
  ('C-1043', 'Atelier Vasseur',      'Camille Roy',    'small',      'fashion',     'France',  '2024-01-20',   9500, 'online shop'),
  ('C-1100', 'Meridian Freight',     'Tomas Varga',    'enterprise', 'logistics',   'CEE',     '2017-06-11', 910000, 'fleet analytics'),
  ('C-1215', 'Copperfield Brewing',  'Maeve Dunne',    'mid-market', 'food',        'Ireland', '2022-11-30',  76000, 'cold chain monitoring');

CREATE TABLE campaign_days (
  days_ago    INTEGER NOT NULL,
  campaign    TEXT NOT NULL,
  spend_eur   INTEGER NOT NULL,
  impressions INTEGER NOT NULL,
  leads       INTEGER NOT NULL,
  conversions INTEGER NOT NULL,
  PRIMARY KEY (days_ago, campaign)
);

INSERT INTO campaign_days VALUES
  ( 2, 'Factory Webinar',   1200,  41000,  64, 12),
  ( 2, 'Search: Uptime',     450,  18500,  21,  3),
  ( 6, 'Factory Webinar',    900,  33000,  48,  9),
  ( 6, 'Search: Uptime',     480,  19900,  25,  4),
  (11, 'Factory Webinar',   1100,  38700,  57, 10),
  (11, 'Trade Fair Oslo',   3200,  12000,  39,  8),
  (17, 'Search: Uptime',     510,  20300,  23,  3),
  (17, 'Trade Fair Oslo',   2800,  10400,  31,  6),
  (24, 'Factory Webinar',   1000,  36100,  52, 11),
  (29, 'Search: Uptime',     470,  18800,  20,  2),
  (38, 'Factory Webinar',    800,  27500,  33,  5),
  (45, 'Search: Uptime',     430,  17600,  18,  2),
  (61, 'Trade Fair Hanover',5200,  22000,  70, 14),
  (85, 'Spring Mailing',     300,  52000,  26,  2);
