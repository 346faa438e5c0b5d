//! The common suite on both variants.

macro_rules! suite {
    ($($name:ident)*) => {
        mod on_sqlite {$(
            #[tokio::test]
            async fn $name() {
                let folder = tempfile::tempdir().unwrap();
                let fixture = crate::sqlite::open(folder.path()).await;
                mainstay_database::contract::$name(&fixture.database).await;
            }
        )*}

        mod on_postgres {$(
            #[tokio::test]
            async fn $name() {
                let (_server, fixture) = crate::support::postgres().await;
                mainstay_database::contract::$name(&fixture.database).await;
            }
        )*}
    };
}

suite! {
    values_come_back_as_they_were_written
    an_empty_result_has_columns_and_no_rows
    a_write_says_what_it_did
    a_write_in_a_read_is_refused_by_the_database
    two_statements_are_refused
    transaction_and_session_control_is_refused
    reserved_names_are_refused
    mistakes_name_their_field
    a_violated_constraint_is_a_conflict
    a_transaction_is_all_or_nothing
    a_result_over_the_limits_is_refused
    an_endless_statement_is_ended_in_time
    a_key_gives_the_first_outcome
    a_key_used_for_another_request_is_refused
    a_write_that_failed_leaves_its_key_free
    a_key_that_is_still_running_is_a_conflict
    records_of_keys_are_out_of_reach
}
