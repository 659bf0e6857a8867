# The portal of LemonLDAP::NG with accounts for tests; their passwords are their names.
use strict;
use warnings;
use Lemonldap::NG::Portal::Main;
use Lemonldap::NG::Portal::UserDB::Demo;

my %groups = (
    vera => ['andon-viewers'],
    otto => ['andon-operators'],
    erna => [ 'andon-engineers', 'andon-viewers' ],
    adam => [ 'andon-viewers', 'andon-admins', 'golf' ],
    nora => ['golf'],
    nemo => [],
);

no warnings 'once';
%Lemonldap::NG::Portal::UserDB::Demo::demoAccounts = map {
    $_ => { uid => $_, cn => ucfirst($_) . " Test", mail => "$_\@example.com" }
} keys %groups;
%Lemonldap::NG::Portal::UserDB::Demo::demoGroups = ();
for my $user ( keys %groups ) {
    push @{ $Lemonldap::NG::Portal::UserDB::Demo::demoGroups{$_} }, $user
      for @{ $groups{$user} };
}

Lemonldap::NG::Portal::Main->run( {} );
