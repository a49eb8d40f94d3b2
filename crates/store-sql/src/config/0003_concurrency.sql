-- Requests of a provider that may be open at the same time; null is no limit.
ALTER TABLE model_providers ADD COLUMN rate_limit_concurrent BIGINT;
