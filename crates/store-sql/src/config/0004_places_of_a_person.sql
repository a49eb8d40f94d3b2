-- A person's places are read in the order of the teams: with the team at its end, this index serves both
-- the person and the order. Without it the planner takes the primary key for the order and walks every
-- place of the organization.

DROP INDEX team_users_by_user;
CREATE INDEX team_users_by_user ON team_users (organization_id, user_id, team_id);
